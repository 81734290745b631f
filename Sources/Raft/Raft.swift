// Module Raft.
