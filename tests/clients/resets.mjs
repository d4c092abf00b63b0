// A reader of the page's client library has all of one stream, and comes back for others from a
// place in it. It forgets what it is told to by comparing positions, and knows nothing else of them.

const { client, url, all, streams } = JSON.parse(process.argv[2]);
const { connect } = await import(client);
const hub = connect(url);

function read(stream, held) {
  return new Promise((done, failed) => {
    hub.follow(stream, {
      from: held.at(-1)?.position ?? "start",
      items: (items) => { held = [...held, ...items]; },
      reset: (position) => {
        held = held.filter((item) => item.position <= position);
        if ((held.at(-1)?.position ?? position) !== position) failed(new Error("there is no such place"));
      },
      closed: () => { done(held); },
      failed,
    });
  });
}

const text = (held) => held.map(({ event }) => event.text).join("");

const whole = await read(all, []);
for (const stream of streams) {
  const texts = await Promise.all(whole.map(async (_, at) => text(await read(stream, whole.slice(0, at + 1)))));
  console.log(JSON.stringify({ stream, texts, via: hub.status.via }));
}
hub.close();
process.exit(0);
