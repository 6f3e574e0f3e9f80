// Prints the messages of channels as they come: node examples/subscribe.mjs CHANNEL…
//
// Listens to an HTTP stream, one JSON object a line. Each message says which channel it is of, and has the cursor to
// resume from after a cut.
const broker = process.env.WIDECAST_URL ?? "http://127.0.0.1:8080";

async function* messages(channels) {
  let cursor;
  for (;;) {
    const query = new URLSearchParams(channels.map((channel) => ["channel", channel]));
    if (cursor) query.set("cursor", cursor);
    try {
      const answer = await fetch(`${broker}/v1/stream?${query}`);
      if (!answer.ok) throw new Error(await answer.text());
      let text = "";
      for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
        const lines = (text + piece).split("\n");
        text = lines.pop(); // the line that is not whole yet
        for (const line of lines.filter(Boolean)) {
          const message = JSON.parse(line);
          cursor = message.cursor;
          yield message;
        }
      }
    } catch (error) {
      console.error(`${error.message}; trying again`);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

for await (const { type, channel, data } of messages(process.argv.slice(2))) {
  if (type === "gap") console.error(`${channel}: messages were lost`);
  else if (data !== undefined) console.log(`${channel}: ${JSON.stringify(data)}`);
}
