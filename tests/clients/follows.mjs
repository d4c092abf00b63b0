// The page's store follows a conversation: says so when it has something, and its text in the end.

const { client, url, stream } = JSON.parse(process.argv[2]);
const { connect } = await import(client);
const hub = connect(url);
let begun = false;
hub.conversation(stream, ({ turns }) => {
  const reply = turns.findLast(({ kind }) => kind === "reply");
  if (!begun && reply?.text) {
    begun = true;
    console.log(JSON.stringify(reply.text.length));
  }
  if (reply?.state !== "interrupted") return;
  console.log(JSON.stringify(reply.text));
  process.exit(0);
});
