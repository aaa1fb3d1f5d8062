//! Faults of Redis and of the way to it, as people behind the gateway meet them.
