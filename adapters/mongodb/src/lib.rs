//! The sink that writes events into MongoDB.
