// Module Client.
