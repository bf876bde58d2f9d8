/** True in the file that slidecar serves: what only the package offers is left out of it, for it must be small. */
export const IS_SERVED: boolean = false;
