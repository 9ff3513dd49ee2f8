import { LiveMetrics } from "@/lib/LiveMetrics";
import { WriteSample } from "./WriteSample";

export default function Page() {
  return (
    <main>
      <h1>Campaign metrics</h1>
      <WriteSample />
      <LiveMetrics limit={20} />
    </main>
  );
}
