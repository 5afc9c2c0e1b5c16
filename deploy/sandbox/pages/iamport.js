// A stand-in for PortOne's V1 JavaScript SDK that opens the sandbox's window.
// Popup (naverPopupMode on a PC): the callback gets the result. Otherwise the page is left, and
// the buyer comes back to m_redirect_url with the result in the query.
"use strict";

(() => {
  const server = new URL(document.currentScript.src).origin;
  const LOOKING_MS = 200;
  let userCode = null;
  let opened = 0;

  const post = (fields, target) => {
    const form = document.createElement("form");
    form.method = "post";
    form.action = `${server}/_sandbox/windows`;
    form.target = target;
    form.hidden = true;
    for (const [name, value] of Object.entries(fields)) {
      const input = document.createElement("input");
      input.type = "hidden";
      input.name = name;
      input.value = value;
      form.append(input);
    }
    document.body.append(form);
    form.submit();
    form.remove();
  };

  const overlay = (name) => {
    const frame = document.createElement("iframe");
    frame.name = name;
    frame.id = "sandbox-window";
    frame.title = "네이버페이 결제창";
    Object.assign(frame.style, {
      position: "fixed",
      inset: "0",
      width: "100%",
      height: "100%",
      border: "0",
      zIndex: "2147483647",
      background: "#fff",
    });
    document.body.append(frame);
    return frame;
  };

  // A popup that the buyer closed says nothing any more: the server is asked what became of it.
  const askAfterClosing = async (windowId, merchantUid) => {
    if (windowId === null) {
      return {
        success: false,
        imp_uid: null,
        merchant_uid: merchantUid,
        error_code: "sandbox:cancel",
        error_msg: "sandbox: 결제창이 열리기 전에 닫혔습니다.",
      };
    }
    const answer = await fetch(`${server}/_sandbox/windows/${windowId}.json`, {
      method: "POST",
      body: new URLSearchParams({ decision: "close" }),
    });
    return (await answer.json()).result;
  };

  const inPopup = (fields, merchantUid, callback) => {
    opened += 1;
    const name = `sandbox-window-${Date.now()}-${opened}`;
    const popup = window.open("about:blank", name, "popup,width=520,height=860");
    const frame = popup ? null : overlay(name);
    let windowId = null;
    let looking = null;

    const finish = (result) => {
      window.removeEventListener("message", listen);
      clearInterval(looking);
      frame?.remove();
      if (callback) {
        callback(result);
      }
    };
    const listen = (event) => {
      const source = frame ? frame.contentWindow : popup;
      if (event.origin !== server || event.source !== source || !event.data?.sandboxWindow) {
        return;
      }
      windowId = event.data.sandboxWindow;
      if (event.data.result) {
        finish(event.data.result);
      }
    };
    window.addEventListener("message", listen);
    if (popup) {
      looking = setInterval(async () => {
        if (!popup.closed) {
          return;
        }
        clearInterval(looking);
        window.removeEventListener("message", listen);
        finish(await askAfterClosing(windowId, merchantUid));
      }, LOOKING_MS);
    }
    post(fields, name);
  };

  const requestPay = (params, callback) => {
    if (userCode === null) {
      throw new Error("sandbox: call IMP.init before IMP.request_pay");
    }
    const onMobile = /Mobi/.test(navigator.userAgent);
    const leaves = (onMobile || params.naverPopupMode !== true) && Boolean(params.m_redirect_url);
    const fields = {
      code: userCode,
      params: JSON.stringify(params),
      mode: leaves ? "redirect" : "popup",
      origin: window.location.origin,
    };
    if (leaves) {
      post(fields, "_self");
    } else {
      inPopup(fields, params.merchant_uid, callback);
    }
  };

  window.IMP = {
    init: (code) => {
      userCode = String(code);
    },
    request_pay: requestPay,
  };
})();
