// Module Frontend.
