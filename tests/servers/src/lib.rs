//! Real servers that tests start and end, each on a free port of 127.0.0.1 with a data folder of its own.
