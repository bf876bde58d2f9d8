const IS_SERVED = false;
export {
  IS_SERVED
};
