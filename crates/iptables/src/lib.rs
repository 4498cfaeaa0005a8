//! iptables rules as values: rendering, parsing, and a packet tracer for tests.
