//! The version of the API, which the path or the header `API-Version` names.

use crate::support::{App, UserSeed};

#[tokio::test]
async fn the_header_chooses_the_version_of_a_path_without_one_and_the_links_name_it() {
    let app = App::start().await;
    for number in 0..2 {
        app.add_user(&UserSeed::number(number)).await;
    }
    let path = "/api/users?page_size=1&page=1";
    for header in [&[][..], &[("api-version", "1")]] {
        let answer = app.get_with(path, header).await;
        assert_eq!((answer.status.as_u16(), answer.header("api-version")), (200, "1"));
        let varies = answer.headers.get_all("vary").iter().any(|value| value == "api-version");
        assert!(varies, "{answer:?}");
        let link = answer.header("link");
        assert!(link.contains("</api/v1/users?page_size=1&page=2>; rel=\"next\""), "{link}");
    }
    let named = app.get_with("/api/v1/users", &[("api-version", "1")]).await;
    assert_eq!((named.status.as_u16(), named.header("api-version")), (200, "1"));
    // A cursor belongs to the list, however its version is named.
    let first = app.get("/api/users?page_size=1").await;
    let cursor = first.body["meta"]["page"]["next_cursor"].as_str().unwrap();
    let next = app.get(&format!("/api/v1/users?page_size=1&cursor={cursor}")).await;
    assert_eq!(next.status, 200, "{next:?}");
}

#[tokio::test]
async fn another_version_is_refused_as_the_command_api_refuses_it() {
    let app = App::start().await;
    for (path, header) in [
        ("/api/v1/users", "2"),
        ("/api/users", "2"),
        ("/api/users", "0"),
        ("/api/v1/users", "one"),
        ("/api/nothing", "2"),
    ] {
        let answer = app.get_with(path, &[("api-version", header)]).await;
        let found = (answer.status.as_u16(), answer.body["code"].as_str());
        assert_eq!(found, (400, Some("api-version/unknown")), "{path} {header}");
        assert_eq!(answer.body["detail"], "there is version 1 alone");
        assert_eq!(answer.body["instance"], path);
    }
    let twice = app.get_with("/api/v1/users", &[("api-version", "1"), ("api-version", "1")]).await;
    assert_eq!((twice.status.as_u16(), &twice.body["code"]), (400, &"api-version/unknown".into()));
    let absent = app.get("/api/v2/users").await;
    assert_eq!((absent.status.as_u16(), &absent.body["code"]), (404, &"not-found".into()));
    // What belongs to no version ignores the header.
    assert_eq!(app.get_with("/openapi.json", &[("api-version", "2")]).await.status, 200);
}

#[test]
fn every_query_may_name_the_version_and_every_answer_does() {
    let document = serde_json::to_value(query_api::http::document()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        let operation = &item["get"];
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let named: Vec<_> =
            parameters.filter(|parameter| parameter["name"] == "API-Version").collect();
        let is_query = path.starts_with("/api/");
        assert_eq!(named.len(), usize::from(is_query), "{path}");
        for parameter in named {
            assert_eq!(
                (&parameter["in"], &parameter["required"]),
                (&"header".into(), &false.into())
            );
            let schema = parameter["schema"]["$ref"].as_str().unwrap().trim_start_matches('#');
            assert_eq!(document.pointer(schema).unwrap()["enum"], serde_json::json!(["1"]));
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            let is_named = response["headers"]["API-Version"].is_object();
            assert_eq!(is_named, is_query, "{path} {status}");
        }
    }
}
