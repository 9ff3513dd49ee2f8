/** Has the test cut the connection in the middle of a load. */
import { setTimeout as sleep } from "node:timers/promises";

/**
 * At half of the load it says so, for the test to stop runmetrics, and goes on slowly until the connection is lost: events
 * are under way then, and more come while there is none. It says that, too, for the test to start runmetrics again.
 */
export function cutAtHalf(paceMs: number) {
  const wanted = process.env.CUT === "1";
  let lost = !wanted;
  let slowly = 0;
  return {
    /** To be called when the connection was lost. */
    done(): void {
      if (!lost) console.log("cut");
      lost = true;
    },
    /** To be called before each step. Tells whether the cut is awaited. */
    async before(done: number, all: number): Promise<boolean> {
      if (wanted && done === all >> 1) console.log("half");
      if (lost || done < all >> 1) return false;
      slowly++;
      await sleep(paceMs);
      return true;
    },
    said(): string {
      if (!lost) throw new Error("the connection was not cut");
      return `${slowly} steps went by until the connection was lost`;
    },
  };
}
