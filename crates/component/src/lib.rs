//! What every Ferrokube daemon shares.
