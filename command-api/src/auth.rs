//! Who may sign in: passwords, sessions and API keys, in the schema `auth`. Nothing of it is in
//! events.

pub mod password;
