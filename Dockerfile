# One image for the node, the operator and the command line. Multi-stage: the last stage has the build and the
# production dependencies, nothing else.
FROM node:24-bookworm-slim AS dependencies
WORKDIR /concord
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM node:24-bookworm-slim AS build
WORKDIR /concord
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json ./
COPY node ./node
COPY operator ./operator
RUN npm run build

FROM node:24-bookworm-slim
ENV NODE_ENV=production \
    NODE_OPTIONS=--max-semi-space-size=16 \
    UV_THREADPOOL_SIZE=16
WORKDIR /concord
COPY package.json LICENSE ./
COPY --from=dependencies /concord/node_modules ./node_modules
COPY --from=build /concord/dist ./dist
COPY node/cli/concord.js ./node/cli/concord.js
COPY node/api/etcd/*.proto ./dist/node/api/etcd/
RUN ln -s /concord/node/cli/concord.js /usr/local/bin/concord && \
    install -d -o 1000 -g 1000 -m 0700 /var/lib/concord
USER 1000:1000
EXPOSE 2379 2380 9568
VOLUME /var/lib/concord
ENTRYPOINT ["concord"]
CMD ["node", "--data-dir=/var/lib/concord"]
