//! Tests of `/api/v1/search`: what is found by which words, and who sees it.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::tokens::with_role;
use crate::support::{Answer, App, send_as};

/// A row to be found.
struct Thing {
    kind: &'static str,
    id: Uuid,
    owner: Option<Uuid>,
    name: Option<&'static str>,
    email: Option<&'static str>,
    words: Option<&'static str>,
}

async fn add(app: &App, thing: &Thing) {
    sqlx::query(
        "INSERT INTO search_g1.search (kind, id, owner_id, name, email, products, words, position)
         VALUES ($1, $2, $3, $4, $5, '{}', $6, 7)",
    )
    .bind(thing.kind)
    .bind(thing.id)
    .bind(thing.owner)
    .bind(thing.name)
    .bind(thing.email)
    .bind(thing.words)
    .execute(&app.writer)
    .await
    .unwrap();
}

/// A user, an order of hers, and two products; another user and her order; and a user who is
/// erased.
struct Shop {
    app: App,
    katharina: Uuid,
    order: Uuid,
    coffee: Uuid,
    tea: Uuid,
    zoe: Uuid,
    her_order: Uuid,
    erased: Uuid,
}

impl Shop {
    async fn new() -> Self {
        let app = App::start().await;
        let [katharina, order, coffee, tea, zoe, her_order, erased] =
            std::array::from_fn(|_| Uuid::now_v7());
        let user = |id, name, email, words| Thing {
            kind: "user",
            id,
            owner: Some(id),
            name,
            email,
            words,
        };
        let order_of = |id, owner, words| {
            let (kind, owner, words) = ("order", Some(owner), Some(words));
            Thing { kind, id, owner, name: None, email: None, words }
        };
        let product = |id, name| {
            let (kind, name) = ("product", Some(name));
            Thing { kind, id, owner: None, name, email: None, words: name }
        };
        for thing in [
            user(
                katharina,
                Some("Katharina Müller"),
                Some("kat@example.com"),
                Some("Katharina Müller kat@example.com"),
            ),
            order_of(order, katharina, "Café Crème"),
            product(coffee, "Café Crème"),
            product(tea, "Crème-Tee"),
            user(zoe, Some("Zoë"), Some("zoe@example.com"), Some("Zoë zoe@example.com")),
            order_of(her_order, zoe, "Café Crème"),
            user(erased, None, None, None),
        ] {
            add(&app, &thing).await;
        }
        Self { app, katharina, order, coffee, tea, zoe, her_order, erased }
    }

    /// The ids of what the administrator finds, best first.
    async fn found(&self, query: &str) -> Vec<String> {
        let answer = self.app.get(&format!("/api/v1/search?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        answer.ids()
    }

    /// The answer to somebody with this token.
    async fn asked_by(&self, token: Option<&str>, query: &str) -> Answer {
        let path = format!("/api/v1/search?{query}");
        let request = Request::get(path).body(Body::empty()).unwrap();
        send_as(&self.app.router, token, request).await
    }
}

fn q(words: &str) -> String {
    let words: String = form_urlencoded::byte_serialize(words.as_bytes()).collect();
    format!("q={words}")
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

fn texts<const COUNT: usize>(ids: [Uuid; COUNT]) -> Vec<String> {
    sorted(ids.map(|id| id.to_string()).to_vec())
}

#[tokio::test]
async fn accents_and_case_make_no_difference_and_all_words_must_fit() {
    let shop = Shop::new().await;
    for words in ["cafe creme", "CAFÉ", "Crème café", "\"café crème\""] {
        let found = sorted(shop.found(&q(words)).await);
        let expected = texts([shop.order, shop.coffee, shop.her_order]);
        assert!(expected.iter().all(|id| found.contains(id)), "{words}: {found:?}");
        assert!(!found.contains(&shop.katharina.to_string()), "{words}: {found:?}");
    }
    assert_eq!(shop.found(&q("zoe@example.com")).await[0], shop.zoe.to_string());
    assert_eq!(shop.found(&q("zoë")).await, texts([shop.zoe]));
    assert_eq!(shop.found(&q("nowhere")).await, [""; 0]);
    assert_eq!(shop.found("").await, [""; 0]);
}

#[tokio::test]
async fn a_word_is_found_although_it_is_misspelt() {
    let shop = Shop::new().await;
    for words in ["katharina muler", "Katharna", "mueller müller"] {
        let found = shop.found(&q(words)).await;
        assert_eq!(found, texts([shop.katharina]), "{words}");
    }
    assert!(shop.found(&q("cream")).await.is_empty(), "another word is not similar enough");
}

#[tokio::test]
async fn hits_are_shown_with_what_they_are_and_best_first() {
    let shop = Shop::new().await;
    let answer = shop.app.get(&format!("/api/v1/search?{}&kind=product", q("creme tee"))).await;
    let hits = answer.body["data"].as_array().unwrap();
    let tea = json!({"kind": "product", "id": shop.tea, "title": "Crème-Tee", "email": null});
    assert_eq!(hits[0], tea, "{hits:?}");
    let user = shop.app.get(&format!("/api/v1/search?{}", q("katharina"))).await;
    let katharina = json!({"kind": "user", "id": shop.katharina, "title": "Katharina Müller",
        "email": "kat@example.com"});
    assert_eq!(user.body["data"], json!([katharina]));
    assert_eq!(
        (&user.body["meta"]["position"], user.body["meta"].get("page")),
        (&json!(100), None)
    );
    let order = shop.app.get(&format!("/api/v1/search?{}&kind=order&limit=1", q("creme"))).await;
    assert_eq!(order.ids().len(), 1);
    assert_eq!(order.body["data"][0]["title"], "Café Crème");
}

#[tokio::test]
async fn a_thing_is_found_by_its_id() {
    let shop = Shop::new().await;
    for id in [shop.zoe, shop.order, shop.tea, shop.erased] {
        let found = shop.found(&q(&id.to_string())).await;
        assert_eq!(found.first(), Some(&id.to_string()));
    }
}

#[tokio::test]
async fn an_erased_user_is_found_by_no_word() {
    let shop = Shop::new().await;
    add_erasure(&shop).await;
    for words in ["katharina", "müller", "kat@example.com"] {
        let found = shop.found(&q(words)).await;
        assert!(!found.contains(&shop.katharina.to_string()), "{words}: {found:?}");
    }
}

/// Blanks a user, as the projector does.
async fn add_erasure(shop: &Shop) {
    let blank = "UPDATE search_g1.search SET name = NULL, email = NULL, words = NULL WHERE id = $1";
    sqlx::query(blank).bind(shop.katharina).execute(&shop.app.writer).await.unwrap();
}

#[tokio::test]
async fn everybody_finds_only_what_they_may_see() {
    let shop = Shop::new().await;
    let all = q("creme");
    let (zoe, support) = (with_role(shop.zoe, "user"), with_role(Uuid::from_u128(1), "support"));
    let ids = async |token: Option<&str>, query: &str| {
        let answer = shop.asked_by(token, query).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        sorted(answer.ids())
    };
    let (coffee, tea) = (shop.coffee, shop.tea);
    assert_eq!(ids(None, &all).await, texts([coffee, tea]));
    assert_eq!(ids(Some(&zoe), &all).await, texts([coffee, tea, shop.her_order]));
    let everything = texts([coffee, tea, shop.order, shop.her_order]);
    assert_eq!(ids(Some(&support), &all).await, everything);
    // Others do not exist for her, whatever she searches by.
    for hidden in [q("katharina"), q(&shop.katharina.to_string()), q(&shop.order.to_string())] {
        assert_eq!(ids(Some(&zoe), &hidden).await, [""; 0], "{hidden}");
    }
    assert_eq!(ids(Some(&zoe), &q("zoe")).await, texts([shop.zoe]));
    let refused = shop.asked_by(None, &format!("{all}&kind=user")).await;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (401, &json!("sign-in")));
}

#[tokio::test]
async fn what_is_searched_for_is_only_text() {
    let shop = Shop::new().await;
    for words in ["' OR 1=1 --", "a & | !", "(((", "\"", "%", "_", "\\", "*:*", "-", "{}"] {
        let found = shop.found(&q(words)).await;
        assert_eq!(found, [""; 0], "{words}");
    }
}

#[tokio::test]
async fn what_cannot_be_searched_for_is_refused_and_pointed_at() {
    let shop = Shop::new().await;
    for (query, pointer) in [
        (q(&"é".repeat(201)), "/q"),
        ("kind=letter".to_owned(), "/kind"),
        ("limit=0".to_owned(), "/limit"),
        ("limit=101".to_owned(), "/limit"),
        ("page_size=5".to_owned(), "/page_size"),
    ] {
        let refused = shop.app.get(&format!("/api/v1/search?{query}")).await;
        assert_eq!(refused.status, 422, "{query}");
        assert_eq!(refused.body["errors"][0]["pointer"], Value::from(pointer), "{query}");
    }
    assert_eq!(shop.found(&q(&"é".repeat(200))).await, [""; 0]);
}
