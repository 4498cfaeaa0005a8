//! The command line, with kubectl's verbs, flags and output.
