// Module Zstd.
