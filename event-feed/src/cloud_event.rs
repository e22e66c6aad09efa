//! Represents a recorded event as CloudEvents 1.0, the form that every target encodes.
//!
//! A target decides how attributes and data are transported, such as headers and payload or one
//! JSON object. It does not decide their names or their text form. [`recorded`] restores the
//! recorded event exactly.
//!
//! | attribute | value | kind |
//! | --- | --- | --- |
//! | `specversion` | `1.0` | CloudEvents |
//! | `id` | the event's id | CloudEvents |
//! | `source` | `urn:uuid:` and the epoch | CloudEvents |
//! | `type` | the event type | CloudEvents |
//! | `subject` | the stream | CloudEvents |
//! | `time` | when the event was recorded | CloudEvents |
//! | `datacontenttype` | `application/json` | CloudEvents |
//! | `traceparent` | the W3C trace context of the command | Distributed Tracing extension |
//! | `epoch`, `position` | the history, and the place in it | ours |
//! | `streamversion` | the version in the stream | ours |
//! | `schemaversion` | the version of the shape of the data | ours |
//! | `correlationid`, `causationid` | the flow and the cause of the event | ours |
//! | `actor`, `credentialid`, `clientid` | who acted, with which credential and client | ours |
//! | `tags` | the tags, with a blank between two | ours |
//!
//! Every value is text. In particular, a position does not fit a CloudEvents `Integer`, which has
//! 32 bits. `dataschema` is omitted because the address of a schema depends on who asks for it.
//! `schemaversion` and `type` identify the shape of the data.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};
use event_store::{Epoch, EventRef, Metadata, Position, RecordedEvent, Tag, Version};
use serde_json::value::RawValue;
use uuid::Uuid;

/// The version of CloudEvents.
const SPEC_VERSION: &str = "1.0";
/// The content type of the data.
pub(crate) const DATA_CONTENT_TYPE: &str = "application/json";
/// The separator of tags, which contain no blanks.
const BETWEEN_TAGS: char = ' ';

/// An attribute of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// `specversion`: the version of CloudEvents.
    SpecVersion,
    /// `id`: the event's id.
    Id,
    /// `source`: the history that the event belongs to, as a URI.
    Source,
    /// `type`: the event type.
    Type,
    /// `subject`: the name of the stream.
    Subject,
    /// `time`: when the event was recorded.
    Time,
    /// `datacontenttype`: the content type of the data.
    DataContentType,
    /// `epoch`: the history that the event belongs to.
    Epoch,
    /// `position`: the position in the log.
    Position,
    /// `streamversion`: the version in the stream.
    StreamVersion,
    /// `schemaversion`: the version of the data's shape.
    SchemaVersion,
    /// `tags`: the event's tags, in order.
    Tags,
    /// `correlationid`: the business flow that the event belongs to.
    CorrelationId,
    /// `causationid`: the command or event that caused this one.
    CausationId,
    /// `actor`: the principal who acted, as text.
    Actor,
    /// `credentialid`: the id of the session or key of the actor.
    CredentialId,
    /// `clientid`: the client that acted for the actor.
    ClientId,
    /// `traceparent`: the W3C trace context of the command.
    Traceparent,
}

impl Attribute {
    /// The attributes that identify the event. Each has a value, and together they are small.
    pub const IDENTIFYING: [Self; 11] = [
        Self::SpecVersion,
        Self::Id,
        Self::Source,
        Self::Type,
        Self::Subject,
        Self::Time,
        Self::DataContentType,
        Self::Epoch,
        Self::Position,
        Self::StreamVersion,
        Self::SchemaVersion,
    ];
    /// The other attributes. Each may be absent, and may be large.
    pub const LABELS: [Self; 7] = [
        Self::Tags,
        Self::CorrelationId,
        Self::CausationId,
        Self::Actor,
        Self::CredentialId,
        Self::ClientId,
        Self::Traceparent,
    ];

    /// The name of the attribute: lower-case letters and digits, as CloudEvents allows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SpecVersion => "specversion",
            Self::Id => "id",
            Self::Source => "source",
            Self::Type => "type",
            Self::Subject => "subject",
            Self::Time => "time",
            Self::DataContentType => "datacontenttype",
            Self::Epoch => "epoch",
            Self::Position => "position",
            Self::StreamVersion => "streamversion",
            Self::SchemaVersion => "schemaversion",
            Self::Tags => "tags",
            Self::CorrelationId => "correlationid",
            Self::CausationId => "causationid",
            Self::Actor => "actor",
            Self::CredentialId => "credentialid",
            Self::ClientId => "clientid",
            Self::Traceparent => "traceparent",
        }
    }

    /// Whether the value may contain any character. All other values are printable ASCII.
    pub const fn is_free_text(self) -> bool {
        matches!(self, Self::Actor | Self::ClientId | Self::Traceparent)
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A recorded event of one history, ready to be encoded.
#[derive(Debug, Clone, Copy)]
pub struct CloudEvent<'a> {
    event: &'a RecordedEvent,
    epoch: Epoch,
}

impl<'a> CloudEvent<'a> {
    /// Wraps an event of the log with this epoch.
    pub const fn new(event: &'a RecordedEvent, epoch: Epoch) -> Self {
        Self { event, epoch }
    }

    /// The given attributes that have a value, with their values.
    pub fn values(
        self,
        attributes: &'static [Attribute],
    ) -> impl Iterator<Item = (Attribute, Cow<'a, str>)> {
        attributes.iter().filter_map(move |attribute| Some((*attribute, self.value(*attribute)?)))
    }

    /// The value of an attribute, if the event has it.
    pub fn value(self, attribute: Attribute) -> Option<Cow<'a, str>> {
        let Self { event, epoch } = self;
        let metadata = &event.metadata;
        Some(match attribute {
            Attribute::SpecVersion => SPEC_VERSION.into(),
            Attribute::Id => event.id.to_string().into(),
            Attribute::Source => format!("urn:uuid:{epoch}").into(),
            Attribute::Type => event.event_type.as_str().into(),
            Attribute::Subject => event.stream.as_str().into(),
            Attribute::Time => {
                event.recorded_at.to_rfc3339_opts(SecondsFormat::AutoSi, true).into()
            }
            Attribute::DataContentType => DATA_CONTENT_TYPE.into(),
            Attribute::Epoch => epoch.to_string().into(),
            Attribute::Position => event.position.to_string().into(),
            Attribute::StreamVersion => event.version.to_string().into(),
            Attribute::SchemaVersion => event.schema_version.to_string().into(),
            Attribute::Tags => joined(&event.tags)?.into(),
            Attribute::CorrelationId => metadata.correlation_id.to_string().into(),
            Attribute::CausationId => metadata.causation_id?.to_string().into(),
            Attribute::Actor => metadata.actor.as_deref()?.into(),
            Attribute::CredentialId => metadata.credential_id?.to_string().into(),
            Attribute::ClientId => metadata.client_id.as_deref()?.into(),
            Attribute::Traceparent => metadata.traceparent.as_deref()?.into(),
        })
    }

    /// The data: the JSON text, byte for byte as it was appended.
    pub fn data(self) -> &'a str {
        self.event.data.get()
    }
}

fn joined(tags: &[Tag]) -> Option<String> {
    let (first, others) = tags.split_first()?;
    let mut joined = first.as_str().to_owned();
    for tag in others {
        // Writing to a String cannot fail.
        let _ = write!(joined, "{BETWEEN_TAGS}{}", tag.as_str());
    }
    Some(joined)
}

/// Why a message is not a valid event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The message lacks a required attribute.
    #[error("the attribute {0} is absent")]
    Missing(Attribute),
    /// An attribute has an invalid value.
    #[error("the attribute {0} is not valid")]
    Invalid(Attribute),
    /// The data is not JSON.
    #[error("the data is not JSON")]
    Data,
}

/// Reads the attributes of a target's message.
pub trait Attributes {
    /// The value of an attribute as [`CloudEvent::value`] returned it; `None` if it is absent.
    ///
    /// # Errors
    /// [`DecodeError`] if the message cannot have been encoded from an event.
    fn get(&self, attribute: Attribute) -> Result<Option<Cow<'_, str>>, DecodeError>;
}

/// Decodes which event a message is, and of which history.
///
/// # Errors
/// [`DecodeError`].
pub fn event_ref(attributes: &impl Attributes) -> Result<(Epoch, EventRef), DecodeError> {
    let position = Position(parsed(attributes, Attribute::Position)?);
    let epoch = Epoch(parsed(attributes, Attribute::Epoch)?);
    Ok((epoch, EventRef { position, event_id: Some(parsed(attributes, Attribute::Id)?) }))
}

/// Decodes the recorded event.
///
/// # Errors
/// [`DecodeError`].
pub fn recorded(attributes: &impl Attributes, data: &[u8]) -> Result<RecordedEvent, DecodeError> {
    let metadata = metadata(attributes)?;
    let bytes = data.len() + serde_json::to_vec(&metadata).map_or(0, |text| text.len());
    let data = std::str::from_utf8(data).map_err(|_| DecodeError::Data)?;
    Ok(RecordedEvent {
        position: Position(parsed(attributes, Attribute::Position)?),
        stream: parsed(attributes, Attribute::Subject)?,
        version: Version(parsed(attributes, Attribute::StreamVersion)?),
        fragment: 0,
        id: parsed(attributes, Attribute::Id)?,
        event_type: parsed(attributes, Attribute::Type)?,
        schema_version: parsed(attributes, Attribute::SchemaVersion)?,
        data: RawValue::from_string(data.to_owned()).map_err(|_| DecodeError::Data)?,
        tags: tags(attributes)?,
        metadata,
        recorded_at: recorded_at(attributes)?,
        bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
    })
}

/// Parses the value of a required attribute.
///
/// # Errors
/// [`DecodeError`] if it is absent or invalid.
pub fn parsed<T: std::str::FromStr>(
    attributes: &impl Attributes,
    attribute: Attribute,
) -> Result<T, DecodeError> {
    required(attributes, attribute)?.parse().map_err(|_| DecodeError::Invalid(attribute))
}

fn required(
    attributes: &impl Attributes,
    attribute: Attribute,
) -> Result<Cow<'_, str>, DecodeError> {
    attributes.get(attribute)?.ok_or(DecodeError::Missing(attribute))
}

fn metadata(attributes: &impl Attributes) -> Result<Metadata, DecodeError> {
    let text = |attribute| Ok(attributes.get(attribute)?.map(Cow::into_owned));
    let id = |attribute| {
        let id = attributes.get(attribute)?.map(|id| id.parse::<Uuid>());
        id.transpose().map_err(|_| DecodeError::Invalid(attribute))
    };
    Ok(Metadata {
        correlation_id: parsed(attributes, Attribute::CorrelationId)?,
        causation_id: id(Attribute::CausationId)?,
        actor: text(Attribute::Actor)?,
        credential_id: id(Attribute::CredentialId)?,
        client_id: text(Attribute::ClientId)?,
        traceparent: text(Attribute::Traceparent)?,
    })
}

fn tags(attributes: &impl Attributes) -> Result<Vec<Tag>, DecodeError> {
    let Some(joined) = attributes.get(Attribute::Tags)? else { return Ok(Vec::new()) };
    let tags = joined.split(BETWEEN_TAGS).map(str::parse);
    tags.map(|tag| tag.map_err(|_| DecodeError::Invalid(Attribute::Tags))).collect()
}

fn recorded_at(attributes: &impl Attributes) -> Result<DateTime<Utc>, DecodeError> {
    let time = DateTime::parse_from_rfc3339(&required(attributes, Attribute::Time)?);
    let time = time.map_err(|_| DecodeError::Invalid(Attribute::Time))?;
    Ok(time.with_timezone(&Utc))
}

#[cfg(test)]
pub(crate) mod tests;
