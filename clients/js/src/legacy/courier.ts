/** Takes commands to the broker: one request at a time, so that they keep their order, with all that has come meanwhile. */

export interface Courier {
  /** Whether a command can be taken at all. */
  fits(command: string): boolean;
  /** The session is known: queued commands can go. */
  open(session: string): void;
  send(commands: string[]): void;
  close(): void;
}

/** How requests are made. */
export interface Means {
  /** The greatest length of commands together. */
  most: number;
  /** The length that a command has in a request. */
  lengthOf(command: string): number;
  /** Makes a request; hears whether the commands have arrived. */
  carry(session: string, commands: string, done: (error: string | undefined) => void): unknown;
}

/** The most commands in one request: less than any sensible limit of a broker. */
var COMMANDS_AT_ONCE = 64;
/** How long a request may take, in milliseconds. */
var PATIENCE = 30000;

export function createCourier(means: Means, failed: (error: string) => void): Courier {
  var queue: string[] = [];
  var session: string | undefined;
  var isBusy = false;
  var isClosed = false;

  function next(): void {
    if (isBusy || isClosed || !session || !queue.length) return;
    var count = 0;
    var length = 0;
    do length += means.lengthOf(queue[count++]!) + 3;
    while (count < COMMANDS_AT_ONCE && count < queue.length && length + means.lengthOf(queue[count]!) < means.most);
    isBusy = true;
    var timer = setTimeout(() => isClosed || failed("no answer"), PATIENCE);
    means.carry(session, "[" + queue.splice(0, count) + "]", (error) => {
      clearTimeout(timer);
      isBusy = false;
      if (isClosed) return;
      if (error) failed(error);
      else next();
    });
  }

  return {
    fits: (command) => means.lengthOf(command) < means.most,
    open: (name) => {
      session = name;
      next();
    },
    send: (commands) => {
      queue = queue.concat(commands);
      next();
    },
    close: () => {
      isClosed = true;
    },
  };
}
