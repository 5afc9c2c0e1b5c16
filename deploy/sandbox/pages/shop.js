// A merchant's page: it calls the SDK and shows what comes back, unmodified.
"use strict";

(() => {
  const at = (id) => document.getElementById(id);
  const home = `${window.location.origin}/_sandbox/shop`;
  const merchantUid = (prefix) => `${prefix}${Date.now()}`;

  const registration = () => ({
    pg: "naverpay.sandbox",
    customer_uid: "gildong_0001_1234",
    merchant_uid: merchantUid("register"),
    name: "Slim 요금제(1개월 단위)",
    amount: 1004,
    buyer_email: "buyer@example.com",
    buyer_name: "구매자이름",
    buyer_tel: "010-0000-0000",
    naverProductCode: "slim-monthly",
    naverProductCount: 1,
    naverPopupMode: true,
    m_redirect_url: home,
  });
  const presets = {
    register: registration,
    change: () => ({
      ...registration(),
      merchant_uid: merchantUid("change"),
      naverActionType: "CHANGE",
    }),
    pay: () => ({
      pg: "naverpay.sandbox",
      merchant_uid: merchantUid("pay"),
      name: "한국사",
      amount: 1004,
      buyer_name: "구매자이름",
      buyer_tel: "010-0000-0000",
      naverPopupMode: true,
      m_redirect_url: home,
      naverProducts: [
        { categoryType: "BOOK", categoryId: "GENERAL", uid: "107922211", name: "한국사", count: 1 },
      ],
    }),
  };

  const show = (source, result) => {
    at("answer").hidden = false;
    at("answer").dataset.source = source;
    at("source").textContent = source;
    at("result").textContent = JSON.stringify(result, null, 2);
    const text = result.error_msg;
    at("error_msg").hidden = typeof text !== "string";
    at("error_msg").textContent = typeof text === "string" ? text : "";
  };
  const complain = (text) => {
    at("problem").hidden = text === "";
    at("problem").textContent = text;
  };
  const fill = (params) => {
    at("params").value = JSON.stringify(params, null, 2);
  };

  for (const [name, make] of Object.entries(presets)) {
    at(`preset-${name}`).addEventListener("click", () => fill(make()));
  }
  at("open").addEventListener("click", () => {
    complain("");
    at("answer").hidden = true;
    at("answer").dataset.source = "";
    try {
      window.IMP.init(at("code").value);
      window.IMP.request_pay(JSON.parse(at("params").value), (rsp) => show("callback", rsp));
    } catch (error) {
      complain(String(error));
    }
  });

  const given = document.body.dataset.params;
  fill(given ? JSON.parse(given) : registration());
  const query = new URLSearchParams(window.location.search);
  if (query.has("imp_success")) {
    show("redirect", Object.fromEntries(query));
  }
})();
