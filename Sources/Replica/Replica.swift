// Module Replica.
