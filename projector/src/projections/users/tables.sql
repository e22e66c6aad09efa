-- One row per user. It runs once per generation, in that generation's schema.
CREATE TABLE users (
    id            uuid PRIMARY KEY,
    email         text,                     -- personal: null once erased
    name          text,                     -- personal: null once erased
    status        text NOT NULL,            -- active | deactivated
    customer_type text NOT NULL,            -- consumer | business | reseller
    display_name  text,                     -- personal: null once erased
    locale        text,                     -- personal: null once erased
    phone         text,                     -- personal: null once erased
    language      text,                     -- the preferred language
    currency      text,                     -- the preferred currency
    newsletter    boolean NOT NULL,         -- whether the user wants it
    -- personal but for id, country and region; the other fields are null once erased:
    -- [{"id": …, "label": …, "recipient": …, "street": …, "city": …, "postal_code": …,
    --   "country": "AT", "region": null}]
    addresses     jsonb NOT NULL,
    -- confirmed orders, without those that were cancelled afterwards
    order_count   bigint NOT NULL,
    -- of these orders, gross: {"USD": 8715}, minor units by currency
    total_spent   jsonb NOT NULL,
    -- all payments, also for cancelled orders, in the same form
    total_paid    jsonb NOT NULL,
    -- of these orders, in the same form; the net is total_spent less this
    total_refunded jsonb NOT NULL,
    -- all refunds, also of cancelled orders, in the same form
    total_paid_back jsonb NOT NULL,
    -- private: the orders that were cancelled or refunded, by id:
    -- {"…": {"is_cancelled": true, "refunded_minor": 150}}
    returns       jsonb NOT NULL,
    -- the latest ordered_at of an order that was confirmed, also if it was cancelled afterwards
    last_order_at timestamptz,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    version       bigint NOT NULL,          -- the version of the user's stream
    position      bigint NOT NULL           -- the last event that changed this row
);

-- The past: the row after each event that changed it, with the event. It serves questions as of an
-- earlier moment, and timelines. The column returns is empty here.
CREATE TABLE users_history (
    LIKE users,
    event_id      uuid NOT NULL,
    event_type    text NOT NULL,
    event_version bigint NOT NULL,          -- the version of the event's stream
    event_at      timestamptz NOT NULL,     -- when it was appended
    event_by      text,                     -- who acted, as in audit
    PRIMARY KEY (id, position)
);
