// Module WriteAheadLog.
