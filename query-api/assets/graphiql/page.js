// Shows GraphiQL on the endpoint of the same server. An access token goes into its headers:
// {"authorization": "Bearer TOKEN"}.
const socket = new URL("/graphql", window.location.href);
socket.protocol = socket.protocol.replace("http", "ws");
// Subscriptions send the headers in their first message.
const fetcher = GraphiQL.createFetcher({ url: "/graphql", subscriptionUrl: socket.href });
const query = `# Put {"authorization": "Bearer TOKEN"} into the headers below, with a token of
# \`cargo stack token\`.
{
  products(first: 5) {
    nodes { id name unitPrice { amount currency } available }
    pageInfo { hasNextPage endCursor }
  }
}
`;
const page = React.createElement(GraphiQL, {
  fetcher,
  defaultQuery: query,
  defaultEditorToolsVisibility: "headers",
  shouldPersistHeaders: false,
});
ReactDOM.createRoot(document.getElementById("graphiql")).render(page);
