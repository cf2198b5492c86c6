//! The one place where a connection's codec is chosen.

/// What a client speaks. Decided once per connection, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// JSON objects, one behind the other.
    Json,
    /// SAMIRA/1 dictionaries, one behind the other.
    Samira1,
}
