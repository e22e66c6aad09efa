//! Why a port cannot speak TLS, or does not take a new certificate.

use std::io;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use tokio::task::JoinError;
use tokio_rustls::rustls;

use super::{CERTIFICATE, KEY};

/// Why a port cannot speak TLS. Never contains the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Only one of the two files is given.
    #[error("{0} is set without {1}: give both")]
    Half(&'static str, &'static str),
    /// A file cannot be read.
    #[error("{0} names {path}, which cannot be read", path = .1.display())]
    Unreadable(&'static str, PathBuf, #[source] io::Error),
    /// Reading the files takes too long.
    #[error("{CERTIFICATE} and {KEY} cannot be read in time")]
    Slow,
    /// The task that reads the files panicked.
    #[error("the files of {CERTIFICATE} and {KEY} were not read")]
    Panicked(#[source] JoinError),
    /// The file has no certificate, or one that is damaged.
    #[error("{CERTIFICATE} names {path}, which is not a certificate in PEM", path = .0.display())]
    NoCertificate(PathBuf),
    /// The file has no private key, or one that is damaged.
    #[error("{KEY} names {path}, which is not a private key in PEM", path = .0.display())]
    NoKey(PathBuf),
    /// Certificate and key cannot be used, or not together.
    #[error("{KEY} is not the key of {CERTIFICATE}, or one of them cannot be used")]
    Unusable(#[source] rustls::Error),
    /// The certificate in the file has expired. The one in use has not, or not as long ago.
    #[error(
        "{CERTIFICATE} names {path}, which expired at {1}; the one in use is newer and stays",
        path = .0.display()
    )]
    Older(PathBuf, DateTime<Utc>),
    /// The certificate in the file is not valid yet. The one in use is.
    #[error(
        "{CERTIFICATE} names {path}, which is not valid before {1}; until then the old one stays",
        path = .0.display()
    )]
    Early(PathBuf, DateTime<Utc>),
}
