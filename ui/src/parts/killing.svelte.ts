// What is about to be killed: the dialog is open while there is something here.

export interface Target {
  flags?: string[];
  tags?: string[];
  services?: string[];
  all?: boolean;
}

let target = $state.raw<Target | undefined>(undefined);

export const killing = {
  get target() {
    return target;
  },
};

/** Opens the dialog. Nothing is killed before a reason was given and the button pressed. */
export function kill(wanted: Target) {
  target = wanted;
}

export function leave() {
  target = undefined;
}
