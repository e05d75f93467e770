import { type Device, defaultThreads } from "../../../src/browser.ts";
import type { ListedModel } from "../models.ts";
import { useTheme } from "../use-theme.ts";
import { runsAddress, type View } from "../use-view.ts";

interface HeaderProps {
  readonly view: View;
  readonly models: readonly ListedModel[];
  readonly chosen: ListedModel | undefined;
  readonly onChoose: (model: ListedModel) => void;
  readonly device: Device;
  readonly onDevice: (device: Device) => void;
}

const hasWebGpu = "gpu" in navigator;

export function Header({ view, models, chosen, onChoose, device, onDevice }: HeaderProps) {
  const [theme, toggleTheme] = useTheme();
  const threads = defaultThreads();
  return (
    <header>
      <div class="title">
        <h1>
          sdim <span>image classifiers that can say “I don’t know”</span>
        </h1>
        <nav aria-label="Pages">
          <a href="#/" aria-current={view.kind === "classify" ? "page" : undefined}>
            Classify
          </a>
          <a href={runsAddress()} aria-current={view.kind === "runs" ? "page" : undefined}>
            Runs
          </a>
        </nav>
      </div>
      <div class="controls">
        {view.kind === "classify" && (
          <>
            <label>
              Model
              <select
                value={chosen?.name ?? ""}
                disabled={models.length === 0}
                onChange={(event) => onChoose(models.find(({ name }) => name === event.currentTarget.value)!)}
              >
                {models.map(({ name }) => (
                  <option key={name} value={name}>
                    {name}
                  </option>
                ))}
              </select>
            </label>
            <label>
              Runs on
              <select value={device} onChange={(event) => onDevice(event.currentTarget.value as Device)}>
                <option value="wasm">{threads === 1 ? "CPU, one thread" : `CPU, ${threads} threads`}</option>
                {hasWebGpu && <option value="webgpu">GPU (WebGPU)</option>}
              </select>
            </label>
          </>
        )}
        <button type="button" class="quiet" aria-pressed={theme === "dark"} onClick={toggleTheme}>
          Dark
        </button>
      </div>
    </header>
  );
}
