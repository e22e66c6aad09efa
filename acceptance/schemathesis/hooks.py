"""What the check `schemathesis` adds to Schemathesis: real tokens, and the rules that are named.

SESSION is the file of the caller's session: the answer to the log-in. Without it, nobody calls.
"""

import base64
import json
import os
import pathlib
import re

import requests
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.graphql.checks import GraphQLClientError, GraphQLServerError
from schemathesis.openapi.checks import RejectedPositiveData

COMMANDS = os.environ["COMMANDS"]
SESSION = os.environ.get("SESSION")

# An access token is valid for five minutes. The next one comes well before.
SECONDS_USED = 120
# The statuses with which a request is refused because of its content.
WRONG_CONTENT = (400, 422)
# An integer that may be beyond the range that GraphQL has for one.
TOO_LARGE = re.compile(r": -?[0-9]{10,}")
# How the errors of GraphQL begin for what a schema cannot limit: the size of an operation.
LIMITS = ("the operation ", "the document has more ", "the answer may have more ", "a query has at")


def subject(token):
    """The id of the user whom a token names. Only a server must verify it."""
    claims = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]


# The id of the user who calls.
CALLER = subject(json.loads(pathlib.Path(SESSION).read_text())["access_token"]) if SESSION else None


class Session:
    """Exchanges the session's refresh token for the next pair, as a frontend does.

    It does not log in with the password. The wrong passwords that Schemathesis sends use up the
    guesses that this address has.
    """

    def get(self, case, context):
        file = pathlib.Path(SESSION)
        session = json.loads(file.read_text())
        answer = requests.post(
            f"{COMMANDS}/api/v1/auth/refresh",
            json={"refresh_token": session["refresh_token"]},
            timeout=10,
        )
        answer.raise_for_status()
        session = answer.json()["data"]
        file.write_text(json.dumps(session))
        return session["access_token"]

    def set(self, case, token, context):
        case.headers["Authorization"] = f"Bearer {token}"


if SESSION:
    schemathesis.auth(refresh_interval=SECONDS_USED)(Session)


@schemathesis.hook
def filter_case(context, case):
    """Leaves out what ends the caller's session for good: nothing could be asked after it."""
    if case.operation.label.endswith("/users/{id}") and case.method.upper() == "DELETE":
        return case.path_parameters.get("id") != CALLER
    if case.operation.label == "Mutation.deleteUser":
        return not CALLER or CALLER not in str(case.body)
    return True


@schemathesis.hook
def before_call(context, case, kwargs):
    """Takes out of a request that is called valid what makes it invalid.

    A schema cannot say that two parameters exclude each other. The descriptions do, and nearly all
    requests for a list would be refused. And the limits of a header are not found if its values
    are quoted: the tool then sends `0` in most requests, whatever the pattern says.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive or is_graphql(case):
        return
    if "page" in case.query:
        case.query.pop("cursor", None)
    if "consistency_token" in case.query:
        case.headers.pop("Consistency-Token", None)
    for parameter in described(case.operation).get("parameters", []):
        name, pattern = parameter["name"], parameter["schema"].get("pattern")
        if parameter["in"] == "header" and pattern and name in case.headers:
            if not re.search(pattern, case.headers[name]):
                del case.headers[name]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Drops the refusal of a valid request if the description names the rule by its code.

    A schema cannot say, for example, that an amount has no more decimals than its currency. That of
    GraphQL says still less, such as how long a text may be. There each error must be a problem of
    the caller's, by its status.
    """
    if isinstance(failure, (GraphQLClientError, GraphQLServerError)):
        is_wrong = case.meta is not None and case.meta.generation.mode.is_negative
        return not all(is_callers(error, is_wrong) for error in failure.errors)
    # The library checks the range of an integer when a field reads it, and below a null none does.
    if isinstance(failure, AcceptedNegativeData) and is_graphql(case):
        return not TOO_LARGE.search(str(case.body))
    if not isinstance(failure, RejectedPositiveData) or response.status_code not in WRONG_CONTENT:
        return True
    problem = response.json()
    codes = [error["code"] for error in problem.get("errors", [])] or [problem["code"]]
    named = descriptions(case.operation)
    return not all(f"`{code}`" in named for code in codes)


def is_graphql(case):
    """Whether a request is of GraphQL."""
    return case.operation.label.startswith(("Query.", "Mutation."))


def is_callers(error, is_wrong):
    """Whether an error of GraphQL is a problem of the caller's, as REST has it with 4xx.

    What is not valid as of the schema has a code alone. A valid request may only be too large.
    """
    extensions = error.get("extensions", {})
    if extensions.get("code") == "graphql/invalid":
        return is_wrong or error["message"].startswith(LIMITS)
    return 400 <= extensions.get("status", 500) < 500


def described(operation):
    """The description of an operation in the document."""
    return operation.schema.raw_schema["paths"][operation.path][operation.method.lower()]


def descriptions(operation):
    """All descriptions of an operation, and of what it refers to, as one text."""
    document = operation.schema.raw_schema
    texts, seen, found = [], set(), [described(operation)]
    while found:
        value = found.pop()
        if isinstance(value, list):
            found.extend(value)
        if not isinstance(value, dict):
            continue
        if isinstance(value.get("description"), str):
            texts.append(value["description"])
        reference = value.get("$ref")
        if isinstance(reference, str) and reference not in seen:
            seen.add(reference)
            found.append(referred(document, reference))
        found.extend(value.values())
    return "\n".join(texts)


def referred(document, reference):
    """What a reference of the document names."""
    for name in reference.removeprefix("#/").split("/"):
        document = document[name]
    return document
