/** How far the platform's clock has been before its timer at most. */
let ahead = 0;

/**
 * The time in milliseconds, as far as it says how much has passed. The clock may be set back, which the timer is not; the timer may stand still while
 * the machine sleeps, which the clock does not.
 */
export function now(): number {
  const passed = performance.now();
  ahead = Math.max(ahead, Date.now() - passed);
  return ahead + passed;
}
