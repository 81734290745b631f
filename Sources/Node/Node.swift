// Module Node.
