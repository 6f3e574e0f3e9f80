// Puts the BroadcastChannel to be tested at `self.Channel`, as the address of this script says. A classic script.
{
  const parameters = new URLSearchParams(self.location.search);
  const kind = parameters.get("kind");
  if (kind === "native") {
    self.Channel = BroadcastChannel;
  } else {
    const { WidecastChannel } = self.Widecast;
    const broker = parameters.get("broker");
    // One that other code can take for a BroadcastChannel: it has no options.
    self.Channel = class extends WidecastChannel {
      constructor(name) {
        if (!arguments.length) throw new TypeError("no name");
        super(name, { broker });
      }
    };
    // The accessors of the interface are its own.
    for (const name of ["name", "onmessage", "onmessageerror", "postMessage", "close"]) {
      Object.defineProperty(self.Channel.prototype, name, Object.getOwnPropertyDescriptor(WidecastChannel.prototype, name));
    }
    if (kind === "the script") self.BroadcastChannel = self.Channel;
  }
}
