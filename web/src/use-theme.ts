import { useEffect, useState } from "preact/hooks";

export type Theme = "light" | "dark";
const key = "sdim-theme";

/** What was chosen here before, or what the system has. */
function initial(): Theme {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  try {
    const stored = localStorage.getItem(key);
    return stored === "light" || stored === "dark" ? stored : system;
  } catch {
    // A browser that refuses storage still has a system theme.
    return system;
  }
}

export function useTheme(): readonly [Theme, () => void] {
  const [theme, setTheme] = useState<Theme>(initial);
  useEffect(() => {
    document.documentElement.style.colorScheme = theme;
  }, [theme]);
  const toggle = () => {
    const next = theme === "dark" ? "light" : "dark";
    setTheme(next);
    try {
      localStorage.setItem(key, next);
    } catch {
      // It then holds until the page is closed.
    }
  };
  return [theme, toggle];
}
