// The window's side of the conversation with the page that opened it.
"use strict";

(() => {
  const page = document.body.dataset;
  const merchant = window.opener || (window.parent === window ? null : window.parent);

  const tell = (message) => {
    if (page.mode === "popup" && page.origin && merchant) {
      merchant.postMessage({ sandboxWindow: page.window, ...message }, page.origin);
    }
  };

  if (page.state === "open") {
    tell({ opened: true });
    return;
  }
  tell({ opened: true, ended: true });
  const back = document.getElementById("return");
  if (back && page.mode === "popup") {
    back.addEventListener("click", () => {
      tell({ result: JSON.parse(page.result) });
      window.close();
    });
  }
})();
