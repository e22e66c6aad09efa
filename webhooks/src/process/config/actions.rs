//! The command lines that ask a running process.

use admin_client::TokenArgs;
use clap::{Args, Subcommand};
use uuid::Uuid;

/// What to do with subscriptions.
#[derive(Debug, Subcommand)]
pub enum SubscriptionsAction {
    /// List all subscriptions.
    List(ListArgs),
    /// Create a subscription, and print its secret, which nobody can see again.
    Create(CreateArgs),
    /// Send nothing to a subscription until somebody resumes it. Its position in the log stays.
    Pause(WhyArgs),
    /// Let a paused subscription go on.
    Resume(ResumeArgs),
    /// Replace the secret of a subscription, and print the new one. The old one signs, too, for a
    /// day.
    Rotate(OfArgs),
    /// Delete a subscription with everything that waits for it.
    Delete(WhyArgs),
}

/// What to do with deliveries.
#[derive(Debug, Subcommand)]
pub enum DeliveriesAction {
    /// List the deliveries that have not succeeded, in the log's order.
    List(DeliveriesListArgs),
    /// Try parked deliveries again now: all of them, or that of one position.
    Retry(RetryArgs),
    /// Give up the delivery of one position.
    Skip(SkipArgs),
}

/// What to do with replays.
#[derive(Debug, Subcommand)]
pub enum ReplaysAction {
    /// List the replays of a subscription, the newest first.
    List(DeliveriesListArgs),
    /// Send events of the past to a subscription once more, up to the head of the log.
    Start(ReplayArgs),
    /// End a replay before it is done.
    Cancel(CancelArgs),
}

/// Names the running process to ask.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// The address of a running process's admin port.
    #[arg(
        long,
        value_name = "URL",
        env = "WEBHOOKS_ADMIN_URL",
        default_value = "http://127.0.0.1:9087"
    )]
    pub admin: String,
    /// The access token of the caller.
    #[command(flatten)]
    pub token: TokenArgs,
}

/// Who decides, and which process to ask.
#[derive(Debug, Args)]
pub struct ByArgs {
    /// Who decides: an opaque id, for the record. Needed unless an access token says it.
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
    /// The process to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// The settings of `subscriptions list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print JSON instead of a text for people.
    #[arg(long)]
    pub json: bool,
    /// The process to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// The settings of `subscriptions create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// A name for people.
    #[arg(long)]
    pub name: String,
    /// The URL of the receiver.
    #[arg(long)]
    pub url: String,
    /// The event types to send, separated by commas. Every receiver gets subject.erased.
    #[arg(long, value_delimiter = ',', required = true)]
    pub types: Vec<String>,
    /// Send personal fields in the clear. It takes the permission webhooks:personal.
    #[arg(long)]
    pub personal: bool,
    /// The position in the log after which it begins; 0 for all of the log. Without it, it begins
    /// with the next event.
    #[arg(long, value_name = "POSITION")]
    pub after: Option<i64>,
    /// Who decides.
    #[command(flatten)]
    pub by: ByArgs,
}

/// Names a subscription, and who decides.
#[derive(Debug, Args)]
pub struct OfArgs {
    /// The id of the subscription.
    pub id: Uuid,
    /// Who decides.
    #[command(flatten)]
    pub by: ByArgs,
}

/// The settings of decisions that need a reason.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Why, for the record. It is not about a person.
    #[arg(long, value_name = "WHY")]
    pub reason: String,
    /// The subscription, and who decides.
    #[command(flatten)]
    pub of: OfArgs,
}

/// The settings of `subscriptions resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The position in the log after which it goes on. Without it, it goes on where it was.
    #[arg(long, value_name = "POSITION")]
    pub after: Option<i64>,
    /// The subscription, and who decides.
    #[command(flatten)]
    pub of: OfArgs,
}

/// The settings of `deliveries list` and `replays list`.
#[derive(Debug, Args)]
pub struct DeliveriesListArgs {
    /// The id of the subscription.
    pub id: Uuid,
    /// Print JSON instead of a text for people.
    #[arg(long)]
    pub json: bool,
    /// The process to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// The settings of `deliveries retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The position of the event. Without it, all parked deliveries are tried again.
    #[arg(long)]
    pub position: Option<i64>,
    /// The subscription, and who decides.
    #[command(flatten)]
    pub of: OfArgs,
}

/// The settings of `deliveries skip`.
#[derive(Debug, Args)]
pub struct SkipArgs {
    /// The position of the event.
    #[arg(long)]
    pub position: i64,
    /// The subscription, who decides, and why.
    #[command(flatten)]
    pub why: WhyArgs,
}

/// The settings of `replays start`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The position of the first event.
    #[arg(
        long,
        value_name = "POSITION",
        conflicts_with = "since",
        required_unless_present = "since"
    )]
    pub from: Option<i64>,
    /// The time of the first event (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// The event types to send, separated by commas. Without it, those of the subscription.
    #[arg(long, value_delimiter = ',')]
    pub types: Option<Vec<String>>,
    /// The maximum number of events per second.
    #[arg(long, default_value_t = 50)]
    pub rate: i32,
    /// The subscription, who decides, and why.
    #[command(flatten)]
    pub why: WhyArgs,
}

/// The settings of `replays cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The id of the replay.
    pub id: Uuid,
    /// Who decides.
    #[command(flatten)]
    pub by: ByArgs,
}
