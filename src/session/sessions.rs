//! The door of the module: create, find, revoke, refresh bookkeeping.
