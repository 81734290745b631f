// Module Disk.
