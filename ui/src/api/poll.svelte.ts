// Asks again and again while somebody looks.

/** Calls `look` now and every `pause` ms, but not while the tab is hidden or the call before is under way. Ends with the component. */
export function poll(look: (signal: AbortSignal) => Promise<unknown>, pause: number) {
  $effect(() => {
    const ending = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const again = async () => {
      // What fails is told by what is shown of it: the next look comes anyway.
      if (!document.hidden) await look(ending.signal).catch(() => undefined);
      if (!ending.signal.aborted) timer = setTimeout(again, document.hidden ? 500 : pause);
    };
    void again();
    return () => {
      ending.abort();
      clearTimeout(timer);
    };
  });
}
