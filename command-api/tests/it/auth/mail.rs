//! Tests of the outbox: retries, and a mail server.

use std::time::Duration;

use chrono::TimeDelta;
use command_api::auth::mail::Mailer;
use command_api::auth::mail::sender::Sender;
use local_servers::in_time;
use serde_json::json;
use service_kit::health::Health;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::support::{Site, sender as file_sender};

const EMAIL: &str = "ada@example.com";

async fn sign_up(site: &Site) {
    let body = json!({"email": EMAIL, "name": "Ada"});
    assert_eq!(site.shop.post("/api/v1/auth/sign-up", body).await.status, 202);
}

async fn send(site: &Site, sender: &Sender) -> usize {
    let pulse = Health::new().pulse("mails", Duration::from_mins(1));
    sender.send_waiting(&site.identity, &pulse).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_cannot_be_sent_waits_and_is_sent_later() {
    let site = Site::new().await;
    sign_up(&site).await;
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("not-there-yet");
    let sender = file_sender(&absent);
    assert_eq!(send(&site, &sender).await, 0);
    std::fs::create_dir(&absent).unwrap();
    assert_eq!(send(&site, &sender).await, 0, "it pauses");
    site.later(TimeDelta::seconds(5));
    assert_eq!(send(&site, &sender).await, 1);
    assert_eq!(send(&site, &sender).await, 0, "it is sent once");
    assert_eq!(std::fs::read_dir(absent).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_is_given_up_after_a_day_and_goes_with_its_token() {
    let site = Site::new().await;
    sign_up(&site).await;
    let sender = file_sender(std::path::Path::new("/dev/null/absent"));
    assert_eq!(send(&site, &sender).await, 0);
    site.later(TimeDelta::days(1) + TimeDelta::seconds(1));
    assert_eq!(send(&site, &sender).await, 0);
    let waiting = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM auth.mail_outbox");
    assert_eq!(waiting.fetch_one(&mut site.owner().await).await.unwrap(), 0);
    sign_up(&site).await;
    site.sql("DELETE FROM auth.pending").await;
    assert_eq!(site.mails().await, []);
}

/// Takes one mail, as a mail server does, and returns its lines.
async fn take_one(listener: TcpListener) -> Vec<String> {
    let (stream, _) = listener.accept().await.unwrap();
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let (mut mail, mut in_data) = (Vec::new(), false);
    write.write_all(b"220 test\r\n").await.unwrap();
    while let Some(line) = lines.next_line().await.unwrap() {
        let answer = match (in_data, line.as_str()) {
            (true, ".") => {
                in_data = false;
                "250 taken\r\n"
            }
            (true, _) => {
                mail.push(line);
                continue;
            }
            (false, "DATA") => {
                in_data = true;
                "354 go on\r\n"
            }
            (false, "QUIT") => break,
            (false, _) => "250 ok\r\n",
        };
        write.write_all(answer.as_bytes()).await.unwrap();
        if !mail.is_empty() && !in_data {
            break;
        }
    }
    mail
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_gets_the_mail() {
    let site = Site::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(take_one(listener));
    sign_up(&site).await;
    let folder = tempfile::tempdir().unwrap();
    let mailer = Mailer::smtp(&url.into()).unwrap();
    let sender = Sender { mailer, ..file_sender(folder.path()) };
    assert_eq!(send(&site, &sender).await, 1);
    let mail = in_time("the mail", server).await.unwrap();
    for line in ["To: ada@example.com", "Subject: Confirm your e-mail address"] {
        assert!(mail.iter().any(|found| found == line), "{line} is not in {mail:#?}");
    }
    assert!(Mailer::smtp(&"canary".to_owned().into()).is_err());
}
