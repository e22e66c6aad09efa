-- Whether the owner holds the lease in this term now.
SELECT EXISTS (
    SELECT FROM webhooks.leases WHERE name = $1 AND owner = $2 AND term = $3
        AND expires_at > clock_timestamp()
) AS "holds!"
