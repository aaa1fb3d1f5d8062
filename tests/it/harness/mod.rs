//! What the integration tests are played with: real processes and scripted
//! peers, all on loopback.
//!
//! Knows the gateway only from outside: its command line, its configuration
//! file, its sockets. Nothing here imports the gateway's own modules except
//! `base`, for time and randomness; `planted` alone writes into its store.

pub mod browser;
pub mod chaos;
pub mod chromium;
pub mod cookie_jar;
pub mod disk;
pub mod echo;
pub mod gateway;
pub mod grpc;
pub mod h2_application;
pub mod h2_client;
pub mod http2_frames;
pub mod keep_alive;
pub mod mirror;
pub mod node_provider;
pub mod part;
pub mod place;
pub mod planted;
pub mod port;
pub mod preload;
pub mod process;
pub mod provider;
pub mod radicale;
pub mod redis;
pub mod redis_cluster;
pub mod scene;
pub mod secrets;
pub mod sentinels;
pub mod tls;
pub mod until;
pub mod upstream;
pub mod wall_clock;
pub mod websocket;
pub mod wire;
pub mod zipline;
