-- One row per user, order and product. It runs once per generation, in that generation's schema.
CREATE TABLE search (
    kind         text NOT NULL,             -- user | order | product
    id           uuid NOT NULL,
    owner_id     uuid,                      -- the user whose it is; null for a product
    -- of a user: personal, null once erased; or of a product
    name         text,
    display_name text,                      -- personal: null once erased
    email        text,                      -- personal: null once erased
    -- private: the names of the products in an order, by the id of the line
    products     jsonb NOT NULL,
    -- all that it is found by; of a user it is personal: null once erased
    words        text,
    position     bigint NOT NULL,           -- the last event that changed this row
    PRIMARY KEY (kind, id)
);
