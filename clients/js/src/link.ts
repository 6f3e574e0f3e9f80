/**
 * One open transport at a time, kept open: takes the best that gets through, the next when it does not, and comes back to the
 * better one later. It knows nothing of channels: its listener takes everything up again whenever `opened` is called.
 */
import type { ConnectionOptions, TransportName } from "./api.js";
import type { Backoff } from "./backoff.js";
import { now } from "./clock.js";
import { type Command, encodeCommand, type Frame } from "./frames.js";
import type { Line, LineListener, LineState } from "./line.js";
import type { Target, Transport, TransportType } from "./transports/index.js";

export type LinkOptions = Required<Pick<ConnectionOptions, "connectTimeout" | "replyTimeout" | "upgradeDelay">>;

/** A transport on trial, or in use. */
interface Carrier {
  index: number;
  transport: Transport;
}

const LONGEST_UPGRADE_DELAY = 600_000;
/** A refusal of the broker says so if it would be the same the next time; its code is the last part. Other servers may say what they like. */
export const FINAL = /(^(Error: )?|"code":")(origin_not_allowed|unauthorized|kicked)\b/;
/** A refusal may say in how many seconds another attempt makes sense. */
const RETRY_AFTER = /Retry-After: (\d{1,6})\b/;

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
  /** Since when the broker has been asked something that it has not answered. */
  #askedAt: number | undefined;
  #openedAt = 0;
  /**
   * How many times longer than usual an answer may take, and a better transport is left alone. A WebSocket does not show that it brings a
   * message which takes longer on a slow way than any answer should: it would be given up and begun anew for ever.
   */
  #patience = 1;
  /** The place of the transport that worked last, which is tried first. */
  #favourite = 0;

  /** `retry` is called when the wait for the next attempt is over. */
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
    if (this.state !== "idle" && this.state !== "waiting") return;
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

  send(commands: Command[]): void {
    this.#askedAt ??= now();
    this.#carrier!.transport.send(commands.map(encodeCommand));
    this.#watch();
  }

  check(): void {
    if (this.state === "open") this.send([{ type: "ping", id: 0 }]);
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
    // A server that has answered the other transports is reached; its answer to a script would be run.
    if (type.isLastResort && reasons.includes(" was answered ")) return failed(reasons);
    const fail = (reason: string): void => {
      this.#endTrial();
      // The broker refuses the page, or its cookie, on every transport.
      if (FINAL.test(reason) && !this.#carrier) return this.#end("closed", reason);
      // The other transports lead to the same broker.
      if (RETRY_AFTER.test(reason)) return failed(reason);
      this.#try(rest, failed, `${reasons} ${type.name}: ${reason};`);
    };
    const carrier = { index } as Carrier;
    this.#trial = carrier;
    this.#trialTimer = setTimeout(() => fail("no welcome in time"), this.#options.connectTimeout);
    const frames = (frames: Frame[]): void => {
      for (const frame of frames) {
        if (this.#trial === carrier && frame.type === "welcome") this.#adopt(frame);
        else if (this.#carrier === carrier) this.#heard(frame);
      }
      if (this.#carrier === carrier) this.#heardAt = now();
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
    this.#askedAt = undefined;
    this.#heardAt = this.#openedAt = now();
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
    this.#upgradeTimer = setTimeout(
      () => {
        this.#try([...this.#types.keys()].slice(0, this.#favourite), () => {
          this.#upgradeDelay *= 2;
          this.#upgradeLater();
        });
      },
      Math.min(this.#upgradeDelay * this.#patience, LONGEST_UPGRADE_DELAY),
    );
  }

  #heard(frame: Frame): void {
    this.#askedAt = undefined;
    // What comes now is no longer the beginning, which comes through however slow the rest is.
    if (now() > this.#openedAt + this.#heartbeat) this.#patience = 1;
    const { type, code, reason, reconnect, reconnect_after_ms } = frame;
    if (type !== "goodbye") return this.#listener.frame(frame);
    // It is the last frame: a transport that asks again and again would get nothing more.
    const why = `${code}: ${reason}`;
    this.#drop();
    if (reconnect) this.#wait(why, reconnect_after_ms ?? 0);
    else this.#end("closed", why);
  }

  /** The time at which the silence has lasted too long. */
  #due(): number {
    if (this.#askedAt === undefined) return this.#heardAt + this.#heartbeat;
    return Math.max(this.#askedAt, this.#heardAt) + this.#options.replyTimeout * this.#patience;
  }

  /** Looks after the silence: asks when it lasts as long as a heartbeat, and gives up when nothing is answered. */
  #watch(): void {
    clearTimeout(this.#lifeTimer);
    this.#lifeTimer = setTimeout(() => {
      if (now() >= this.#due()) {
        if (this.#askedAt === undefined) return this.check();
        if (!this.#carrier!.transport.busy) {
          // A transport that has brought the welcome and then nothing more is held up on the way: the next one may not be.
          this.#favourite = (this.#favourite + 1) % this.#types.length;
          this.#patience++;
          return this.#lost("the broker does not answer");
        }
        this.#askedAt = now();
      }
      this.#watch();
    }, this.#due() - now());
  }

  #lost(reason: string): void {
    this.#drop();
    if (FINAL.test(reason)) this.#end("closed", reason);
    else this.#wait(reason);
  }

  #wait(reason: string, delay = this.#backoff.next()): void {
    if (delay === undefined) return this.#end("closed", reason);
    this.#waitTimer = setTimeout(this.#retry, Math.max(delay, Number(RETRY_AFTER.exec(reason)?.[1] ?? 0) * 1000));
    this.#to("waiting", reason);
  }

  #drop(): void {
    this.#endTrial();
    for (const timer of [this.#waitTimer, this.#upgradeTimer, this.#lifeTimer]) clearTimeout(timer);
    this.#carrier?.transport.close();
    this.#carrier = this.#askedAt = undefined;
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
