//! The listener: silent servers and quiet channels.

use local_servers::{Stopped, in_time};
use postgres_kit::{Connection, Listener, is_silent};

use crate::support::{LIMIT, SLACK, database, options};

const NAME: &str = "listens";
const CHANNEL: &str = "news";

#[tokio::test]
async fn a_server_that_gives_no_sign_is_left_and_one_that_has_nothing_to_say_is_not() {
    let database = database().await;
    let listening = options(&database).application_name(NAME);
    let mut listener = Listener::open(&listening, CHANNEL, LIMIT / 3, SLACK).await.unwrap();
    let mut admin = Connection::open(&options(&database), SLACK, SLACK).await.unwrap();
    // The listener pings several times before the notification arrives.
    let news = sqlx::query("SELECT pg_sleep(1), pg_notify($1, '')").bind(CHANNEL);
    let heard = in_time("a notification", listener.heard());
    let (told, heard) = tokio::join!(news.execute(&mut admin), heard);
    told.unwrap();
    heard.unwrap();
    let ask = "SELECT pid FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = $1";
    let pid = sqlx::query_scalar::<_, i32>(ask).bind(NAME).fetch_one(&mut admin).await.unwrap();
    let stopped = Stopped::stop([pid]);
    let error = in_time("the end of the connection", listener.heard()).await.unwrap_err();
    assert!(is_silent(&error), "{error:?}");
    drop(stopped);
}
