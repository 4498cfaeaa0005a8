//! The control loops: one file each, in one table.
