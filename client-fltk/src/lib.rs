#![doc = "x"]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod env;
pub mod limits;
pub mod link;
pub mod model;
pub mod net;
pub mod profile;
pub mod store;
