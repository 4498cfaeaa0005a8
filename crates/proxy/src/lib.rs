//! Services to iptables rules.
