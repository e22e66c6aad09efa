//! Every operation of the command line about something that does not exist: it says so and fails.

use uuid::Uuid;

use crate::rebuild::{ends_with, projected, succeeds};

#[tokio::test]
async fn what_is_about_nothing_says_so_and_fails() {
    let database = projected(401, 40).await;
    let (url, id) = (database.url(), Uuid::from_u128(7).to_string());
    let unknown = "there is no projection of_nothing";
    for arguments in [
        &["account", "of_nothing"][..],
        &["parked", "list", "of_nothing"],
        &["parked", "show", "of_nothing"],
        &["parked", "retry", "of_nothing"],
        &["parked", "skip", "of_nothing", "1", "--by", "Ada", "--reason", "x"],
        &["parked", "export", "of_nothing"],
        &["verify", "of_nothing"],
        &["explain", "of_nothing", "7"],
        &["rebuild", "of_nothing"],
        &["rebuild", "of_nothing", "--dry-run"],
        &["rebuild", "of_nothing", "--pause"],
        &["switch-back", "of_nothing"],
        &["drop", "of_nothing", "1", "--yes"],
        &["start-over", "of_nothing", "--yes"],
    ] {
        let said = ends_with(cli_kit::USAGE, url, arguments).await;
        assert!(said.contains(unknown), "{arguments:?}: {said}");
    }
    for (arguments, why) in [
        (
            &["parked", "show", "users", "--position", "1"][..],
            "nothing at position 1 of users is parked",
        ),
        (&["parked", "show", "users", "--key", &id], "is parked"),
        (&["parked", "show", "users", "--key", "nobody"], "\"nobody\" is not a key of users"),
        (&["parked", "retry", "users"], "nothing at all of users is parked"),
        (
            &["parked", "retry", "users", "--json", "--position", "1"],
            "nothing at position 1 of users is parked",
        ),
        (&["parked", "retry", "users", "--key", "nobody"], "\"nobody\" is not a key of users"),
        (
            &["parked", "skip", "users", "1", "--by", "Ada", "--reason", "x"],
            "no row refuses the event at position 1",
        ),
        (&["explain", "users", &id], "no event made a row"),
        (&["explain", "users", "nobody"], "\"nobody\" is not a key of users"),
        (&["explain", "users", &id, "--as-of", "41"], "the log ends at position 40, before 41"),
        (&["rebuild", "users", "--resume"], "rebuild"),
        (&["rebuild", "users", "--pause"], "rebuild"),
        (&["switch-back", "users"], "no earlier generation"),
        (&["drop", "users", "7", "--yes"], "it does not exist"),
    ] {
        // A word that can be no key is wrong usage; a key that no row has is not.
        let code = if why.contains("is not a key") { cli_kit::USAGE } else { cli_kit::FAILED };
        let said = ends_with(code, url, arguments).await;
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    for arguments in [
        &["parked", "list"][..],
        &["parked", "show", "users"],
        &["parked", "export", "users"],
        &["account"],
    ] {
        succeeds(url, arguments).await;
    }
}
