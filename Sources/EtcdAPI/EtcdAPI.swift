// Module EtcdAPI.
