// Module Snapshot.
