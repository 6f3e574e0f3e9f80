/**
 * One open transport at a time, kept open: takes the best that gets through, the next when it does not, and comes back to the
 * better one later. Knows nothing of channels: who uses it takes everything up again whenever `opened` is called.
 */
import type { ConnectionOptions, TransportName } from "./api.js";
import type { Backoff } from "./backoff.js";
import { command, type Frame } from "./frames.js";
import type { Line, LineListener, LineState } from "./line.js";
import type { Target, Transport, TransportType } from "./transports/index.js";

export type LinkOptions = Required<Pick<ConnectionOptions, "connectTimeout" | "replyTimeout" | "upgradeDelay">>;

/** A transport on trial, or in use. */
interface Carrier {
  index: number;
  transport: Transport;
}

const LONGEST_UPGRADE_DELAY = 600_000;

export class Link implements Line {
  state: LineState = "idle";
  readonly #types: readonly TransportType[];
  readonly #target: Target;
  readonly #options: LinkOptions;
  readonly #backoff: Backoff;
  readonly #listener: LineListener;
  readonly #retry: () => void;
  #carrier: Carrier | undefined;
  #trial: Carrier | undefined;
  #trialTimer: Timer;
  #waitTimer: Timer;
  #upgradeTimer: Timer;
  #lifeTimer: Timer;
  #upgradeDelay: number;
  #heartbeat = 25_000;
  #heardAt = 0;
  /** What the broker was asked and has not answered yet: since when. */
  #askedAt: number | undefined;
  /** The transport that worked last: the first to be tried. */
  #favourite = 0;
  /** What a goodbye said of coming back: after how long, or not at all. */
  #advice: number | "never" | undefined;

  /** `retry`: what to do when the wait for the next attempt is over. */
  constructor(
    types: readonly TransportType[],
    target: Target,
    options: LinkOptions,
    backoff: Backoff,
    listener: LineListener,
    retry = () => this.open(),
  ) {
    this.#types = types;
    this.#target = target;
    this.#options = options;
    this.#backoff = backoff;
    this.#listener = listener;
    this.#retry = retry;
    this.#upgradeDelay = options.upgradeDelay;
  }

  get transport(): TransportName | undefined {
    return this.#carrier && this.#types[this.#carrier.index]!.name;
  }

  open(): void {
    if (!/idle|waiting/.test(this.state)) return;
    clearTimeout(this.#waitTimer);
    this.#to("connecting", "");
    this.#try(this.#order(), (reasons) => this.#wait(`no transport gets through to ${this.#target.base}:${reasons}`));
  }

  suspend(): void {
    if (this.state !== "closed") this.#end("idle", "suspended");
  }

  close(reason: string): void {
    if (this.state !== "closed") this.#end("closed", reason);
  }

  send(commands: Uint8Array<ArrayBuffer>[]): void {
    this.#askedAt ??= Date.now();
    this.#carrier!.transport.send(commands);
    this.#watch();
  }

  check(): void {
    if (this.state === "open") this.send([command({ type: "ping", id: 0 })]);
    else if (this.state === "waiting") this.open();
  }

  /** The transports, the one that worked last first. */
  #order(): number[] {
    const all = [...this.#types.keys()];
    if (this.#types[this.#favourite]?.isLastResort) return all;
    return all.sort((a, b) => Number(b === this.#favourite) - Number(a === this.#favourite));
  }

  /** Tries these transports, one after the other; `failed` hears why none gets through. */
  #try([index, ...rest]: number[], failed: (reasons: string) => void, reasons = ""): void {
    if (index === undefined) return failed(reasons);
    const type = this.#types[index]!;
    // A server that has answered to others is reached; what it answers to a script would be run.
    if (type.isLastResort && reasons.includes(" was answered ")) return failed(reasons);
    const fail = (reason: string): void => {
      this.#endTrial();
      // The broker refuses the page, whatever the transport.
      if (reason.includes("origin_not_allowed") && !this.#carrier) return this.#end("closed", reason);
      this.#try(rest, failed, `${reasons} ${type.name}: ${reason};`);
    };
    const carrier = { index } as Carrier;
    this.#trial = carrier;
    this.#trialTimer = setTimeout(() => fail("no welcome in time"), this.#options.connectTimeout);
    const frames = (frames: Frame[]): void => {
      for (const frame of frames) {
        if (this.#trial === carrier && frame.type === "welcome") this.#adopt(frame);
        else if (this.#carrier === carrier) this.#heard(frame);
        else if (frame.type === "goodbye") this.#advise(frame);
      }
      if (this.#carrier === carrier) this.#heardAt = Date.now();
    };
    const closed = (reason: string): void => {
      if (this.#trial === carrier) fail(reason);
      else if (this.#carrier === carrier) this.#lost(reason);
    };
    try {
      carrier.transport = type.open(this.#target, { frames, closed });
    } catch (error) {
      // As a constructor that the page's Content-Security-Policy forbids: without waiting, but not before we return.
      clearTimeout(this.#trialTimer);
      this.#trialTimer = setTimeout(() => fail(String(error)));
    }
  }

  #endTrial(): void {
    clearTimeout(this.#trialTimer);
    this.#trial?.transport?.close();
    this.#trial = undefined;
  }

  /** The transport on trial has brought the welcome: it is the one from now on. */
  #adopt(welcome: Frame): void {
    clearTimeout(this.#trialTimer);
    this.#carrier?.transport.close();
    this.#carrier = this.#trial;
    this.#trial = undefined;
    this.#favourite = this.#carrier!.index;
    this.#backoff.reset();
    this.#advice = this.#askedAt = undefined;
    this.#heardAt = Date.now();
    this.#heartbeat = welcome.heartbeat_ms ?? this.#heartbeat;
    clearTimeout(this.#upgradeTimer);
    if (this.#favourite > 0) this.#upgradeLater();
    else this.#upgradeDelay = this.#options.upgradeDelay;
    this.#watch();
    this.#to("open", "");
    this.#listener.opened(welcome);
  }

  /** Tries the better transports after a while; the present one goes on. */
  #upgradeLater(): void {
    this.#upgradeTimer = setTimeout(() => {
      this.#try([...this.#types.keys()].slice(0, this.#favourite), () => {
        this.#upgradeDelay = Math.min(this.#upgradeDelay * 2, LONGEST_UPGRADE_DELAY);
        this.#upgradeLater();
      });
    }, this.#upgradeDelay);
  }

  #heard(frame: Frame): void {
    this.#askedAt = undefined;
    if (frame.type === "goodbye") this.#advise(frame);
    else this.#listener.frame(frame);
  }

  #advise({ reconnect, reconnect_after_ms }: Frame): void {
    this.#advice = reconnect ? (reconnect_after_ms ?? 0) : "never";
  }

  /** When the silence has lasted too long. */
  #due(): number {
    if (this.#askedAt === undefined) return this.#heardAt + this.#heartbeat;
    return Math.max(this.#askedAt, this.#heardAt) + this.#options.replyTimeout;
  }

  /** Looks after the silence: asks when it lasts as long as a heartbeat, and gives up when nothing is answered. */
  #watch(): void {
    clearTimeout(this.#lifeTimer);
    this.#lifeTimer = setTimeout(() => {
      const now = Date.now();
      if (now >= this.#due()) {
        if (this.#askedAt === undefined) return this.check();
        if (!this.#carrier!.transport.busy) {
          // What brought the welcome and then nothing more is held up on the way: the next transport may not be.
          this.#favourite = (this.#favourite + 1) % this.#types.length;
          return this.#lost("the broker does not answer");
        }
        this.#askedAt = now;
      }
      this.#watch();
    }, this.#due() - Date.now());
  }

  #lost(reason: string): void {
    const advice = this.#advice;
    this.#drop();
    if (advice === "never") this.#end("closed", reason);
    else this.#wait(reason, advice);
  }

  #wait(reason: string, delay = this.#backoff.next()): void {
    if (delay === undefined) return this.#end("closed", reason);
    this.#waitTimer = setTimeout(this.#retry, delay);
    this.#to("waiting", reason);
  }

  #drop(): void {
    this.#endTrial();
    for (const timer of [this.#waitTimer, this.#upgradeTimer, this.#lifeTimer]) clearTimeout(timer);
    this.#carrier?.transport.close();
    this.#carrier = this.#askedAt = this.#advice = undefined;
  }

  #end(state: LineState, reason: string): void {
    this.#drop();
    this.#to(state, reason);
  }

  #to(state: LineState, reason: string): void {
    this.state = state;
    this.#listener.changed(reason);
  }
}

type Timer = ReturnType<typeof setTimeout> | undefined;
